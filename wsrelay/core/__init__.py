"""The pure floor: values and state machines, with no clock, no socket and no Deferred in sight."""
