"""Pages of metrics: of vLLM, of the gateways before it, of a Prometheus server; and what they tell of traffic."""
