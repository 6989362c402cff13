"""Placements compared: inventories to place, and what every algorithm makes of them, verified by the twin."""
