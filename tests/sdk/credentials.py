"""The official credential library against the simulator: whose key does it take from each host?

    pip install alibabacloud_credentials
    python tests/sdk/credentials.py 127.0.0.1:PORT < hosts.json
    python tests/sdk/credentials.py - < hosts.json      # at the real addresses, which a network namespace has

Reads a list of objects {"name", "variables"} and prints one line of JSON for each: {"name", "key_id"} or {"name", "error"}.
`tests/credentials.rs` compares that with what imagebaked takes. The library reads its variables once, when it is imported:
every host is a process of its own.
"""

import json
import os
import sys


def key_id(address, variables):
    os.environ.clear()
    os.environ.update(variables)
    from alibabacloud_credentials.provider import DefaultCredentialsProvider
    from Tea.core import TeaCore

    if address == "-":
        return DefaultCredentialsProvider().get_credentials().get_access_key_id()
    send = TeaCore.do_action

    def redirected(request, runtime_option=None):
        # Its hosts are fixed: the token service, and the metadata service of a machine.
        request.protocol = "http"
        request.headers["host"], port = address.split(":")
        request.port = int(port)
        return send(request, runtime_option)

    TeaCore.do_action = staticmethod(redirected)
    return DefaultCredentialsProvider().get_credentials().get_access_key_id()


def main():
    address = sys.argv[1]
    children = []
    for host in json.load(sys.stdin):
        pid = os.fork()
        if pid == 0:
            try:
                found = {"key_id": key_id(address, host["variables"])}
            except Exception as error:
                found = {"error": str(error)}
            os.write(1, (json.dumps({"name": host["name"], **found}) + "\n").encode())
            os._exit(0)
        children.append(pid)
        if len(children) >= 4:
            os.waitpid(children.pop(0), 0)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
