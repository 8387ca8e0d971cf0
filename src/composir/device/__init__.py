"""Between a device and a server: the device sends pseudo-words, not the picture.

`client` is what runs on the device and needs numpy and onnxruntime alone; `export` writes it out
with the query side's graph; `server` composes from what arrives. docs/device.md has the bytes.
"""
