"""Tells systemd how the service is doing (`Type=notify`); without systemd it does nothing."""

import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str]) -> bool:
    """Send `message` ("READY=1", "STOPPING=1", "STATUS=…"); True when somebody listens."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket of Linux
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto(message.encode(), address)
        except OSError:
            return False  # a service manager that does not answer is no reason to stop serving
    return True
