"""Measure a running model: a real vLLM server, traffic for it, and a Profile of what it does.

server/        start it with dummy adapters, meet one that runs, read its metrics, end it surely
client/        send it traffic, time its responses
measurements/  which servers and measurements there are to be, one by one, and what comes of them
"""
