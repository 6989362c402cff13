"""Deployment files: written from a recommendation by templates."""
