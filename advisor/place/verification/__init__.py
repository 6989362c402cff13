"""A placement in the digital twin, on this machine or on a cluster."""
