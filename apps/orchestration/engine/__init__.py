"""The durable engine: facts -> state -> decision -> execution -> facts.

`state` and `decisions` are pure, so that a simulator can drive them; `leases`, `journal` and
`execution` do the work around them.
"""
