"""Shapes and figures -> Profile: what nobody measured, computed, with how far it may be off."""
