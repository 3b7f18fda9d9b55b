"""Ends TLS in place of hosts of the cloud, and passes what it reads on to the simulator. For a network namespace.

    python tests/sdk/tls_front.py CERTIFICATE KEY ADDRESS:443 SIMULATOR:PORT
"""

import re
import socket
import ssl
import sys
import threading


# A credentials URI has a name of its own here; the simulator gives keys to its own names only.
KEYS = re.compile(rb"(?i)^(GET /credentials[^\r]*\r\n(?:[^\r]+\r\n)*?host: )[^\r]*")


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(KEYS.sub(rb"\1localhost", data))
    except OSError:
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(connection, context, simulator):
    try:
        near = context.wrap_socket(connection, server_side=True)
        far = socket.create_connection(simulator)
    except OSError:
        connection.close()
        return
    threading.Thread(target=copy, args=(near, far), daemon=True).start()
    copy(far, near)


def address(text):
    host, port = text.split(":")
    return host, int(port)


def main():
    certificate, key, own, simulator = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    listener = socket.create_server(address(own))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context, address(simulator)), daemon=True).start()


if __name__ == "__main__":
    main()
