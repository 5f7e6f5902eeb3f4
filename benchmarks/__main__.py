"""`python -m benchmarks`: run all benchmarks and print their tables."""

from __future__ import annotations

from benchmarks import post_to_diagnosis


def main() -> None:
    """Run every benchmark in turn."""
    post_to_diagnosis.main()


if __name__ == "__main__":
    main()
