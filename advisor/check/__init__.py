"""Deployments x recommendation -> findings: one small file a rule."""
