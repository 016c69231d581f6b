"""How clients are reached: the front door, and what stands behind it."""
