"""Files from a recommendation: templates, quoting, limits."""
