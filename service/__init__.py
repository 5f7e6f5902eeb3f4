"""The HTTP service: parse, call one function, answer. It trains nothing and keeps no state but the store's."""
