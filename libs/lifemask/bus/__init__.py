"""The bus: Kafka delivers, PostgreSQL remembers, lanes do the work. A service sees only its table of handlers.

Wirings open it with `lifemask.bus.service.open_bus`; handlers import `lifemask.bus.outcomes` and nothing else of it.
"""
