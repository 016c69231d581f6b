"""Brokers carry publications: `memory` inside one process, `redis` between many."""
