"""A running vLLM server: send it traffic, time its answers, read its metrics.

traffic.py   what to send, and when    ->  client.py   sends it  ->  stream.py, answers.py   time the answers
metrics.py   one scrape of /metrics    ->  sampler.py  scrapes while traffic runs
address.py   which servers may be asked    capacity.py how much the client itself bears on this machine

async with Sampler(url) as sampler:
    answers = await send(traffic, url, model="base", duration_s=600)
row = answers.summary() | sampler.summary()     # in the columns of the measurement tables
"""
