"""Recommendations that the digital twin itself searches: it serves the inventory as it is, hour after hour."""
