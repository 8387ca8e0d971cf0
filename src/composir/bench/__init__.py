"""How good is a composer? Public benchmarks and data of one's own, scored by one protocol.

`task` says what a benchmark is, `datasets` reads them, `vectors` encodes them, `ranking` orders
their galleries, `metrics` and `significance` score, `results` keeps what was measured, `report`
shows it. The library never imports this room.
"""
