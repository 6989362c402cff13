"""HTML: pages that need nothing else, for people who would rather look than read."""
