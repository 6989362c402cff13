"""Shapes and figures -> Profile: what nobody measured, computed, with how far each constant may be off."""
