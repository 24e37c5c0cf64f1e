"""The private servers that demo, tests and benchmarks start: real ones, on free ports, in folders of their own."""
