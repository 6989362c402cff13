"""JSON Schemas of what commands answer, versioned."""
