"""Logs of requests, whoever wrote them, and the traffic by adapter that they come to."""
