"""What the service costs: CPU, throughput, latency and memory per transaction, beside the same storage used raw."""
