"""``python -m pyloss`` prints the configuration."""

from .config import show_config


def main() -> None:
    """Print the configuration."""
    for name, value in show_config().items():
        print(f"{name:13} {', '.join(value) if isinstance(value, list) else value}")


if __name__ == "__main__":
    main()
