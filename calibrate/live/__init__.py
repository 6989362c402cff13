"""A real vLLM server: start it with dummy adapters, send it traffic, time its answers, read its metrics, end it surely.

settings.py  how it is launched        ->  start.py, guard.py, start_log.py  start and end it  ->  server.py  it runs
adapters.py  LoRA adapters to serve        endpoint.py  single questions       machine.py  what it ran on
traffic.py   what to send, and when    ->  client.py  sends it  ->  stream.py, answers.py  time the answers
metrics.py   one scrape of /metrics    ->  sampler.py  scrapes while traffic runs
address.py   which servers may be asked    capacity.py  how much the client itself bears on this machine
"""
