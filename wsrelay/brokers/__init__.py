"""What carries publications between processes: `memory` inside one process, `redis` between many."""
