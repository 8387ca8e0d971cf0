"""Pages for people: contact sheets, explanations, bench reports, triplet sheets.

Each is one HTML file without a script or a request: pictures travel inside, and the content
security policy forbids everything else. Templates escape every value. One stylesheet, light and
dark by the reader's system.
"""
