# SPDX-License-Identifier: Apache-2.0
"""A web server on loopback that fails as real ones do, by a script for each path."""

import http.server
import socket
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

DATE = formatdate(1_500_000_000, usegmt=True)
STALL_SECONDS = 1.0  # more than the tests' time-out


class Server(http.server.ThreadingHTTPServer):
    """Files by path; ``script[path]`` lists what to do with each coming request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.script, self.etags = {}, {}, {}
        self.requests = []  # (path, Range or "", bytes sent)
        self.guard = threading.Lock()
        self.release = threading.Event()  # ends what hangs

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # the other side went away: that is what is tested

    def asked(self, path):
        """Return (Range, bytes sent) of each request for a path."""
        with self.guard:
            return [(r, n) for p, r, n in self.requests if p == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        server = self.server
        with server.guard:
            steps = server.script.get(path, [])
            step = steps.pop(0) if steps else {}
            index = len(server.requests)
            server.requests.append((path, self.headers.get("Range", ""), 0))
        self.index = index
        self.answer(path, step)

    def send(self, content):
        """Send bytes, and count them."""
        self.wfile.write(content)
        self.wfile.flush()
        with self.server.guard:
            path, asked, sent = self.server.requests[self.index]
            sent += len(content)
            self.server.requests[self.index] = (path, asked, sent)

    def answer(self, path, step):
        if callable(step.get("before")):
            step["before"]()
        if "redirect" in step:
            return self.plain(302, b"", {"Location": step["redirect"]})
        if "status" in step:
            return self.plain(step["status"], b"no", step.get("headers", {}))
        if "body" in step:
            return self.plain(200, step["body"], {"Content-Type": "text/html"})
        if path not in self.server.files:
            return self.plain(404, b"no", {})
        return self.file(path, step)

    def plain(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.send(body)

    def file(self, path, step):
        content = self.server.files[path]
        etag = self.server.etags.get(path, f'"{len(content)}-{hash(content)}"')
        start = self.first_byte(etag, step)
        if start > len(content) or (start and start == len(content)):
            where = {"Content-Range": f"bytes */{len(content)}"}
            return self.plain(416, b"", where)
        self.send_response(206 if start else 200)
        if start:
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", step.get("range", f"bytes {start}-{end}"))
        if etag:
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", DATE)
        body = content[start:]
        if step.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif step.get("no_length"):
            self.send_header("Connection", "close")
        else:
            length = len(body) + step.get("extra_length", 0)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        return self.body(body, step)

    def first_byte(self, etag, step):
        wanted = self.headers.get("Range", "")
        valid = self.headers.get("If-Range", etag) in (etag, DATE)
        if not wanted or step.get("ignore_range") or not (valid or step.get("blind")):
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def body(self, body, step):
        cut = step.get("cut", step.get("stall", step.get("hang")))
        part = body if cut is None else body[:cut]
        if step.get("chunked"):
            part = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [part])
            part += b"" if cut is not None else b"0\r\n\r\n"
        self.send(part)
        if "stall" in step:
            self.server.release.wait(STALL_SECONDS)
        if "hang" in step:
            self.server.release.wait(20)
        if cut is not None or step.get("no_length") or step.get("extra_length"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving():
    """Run a server in the background."""
    server = Server()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()


def wait_until(condition, seconds=20):
    """Wait for another process; fails when it never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the other process did not get so far"
        time.sleep(0.01)
