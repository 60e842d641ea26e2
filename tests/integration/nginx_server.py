"""A real nginx on the loopback: answers as a handler's endpoint does, plain and with TLS and client certificates."""
import os
import pathlib
import shutil
import subprocess

from daemon import free_port, wait_for

CONF = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  log_format facts '$connection $request_uri $status $http_x_queue_message_id $http_authorization';
  access_log {folder}/access.log facts;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 8m;
  server {{
    listen 127.0.0.1:{port};
    location /well {{ return 200 "well done"; }}
    location /busy {{ add_header Retry-After 3600 always; return 503; }}
    location /bad {{ add_header X-Queue-Reason "bad_address: no street" always; return 422; }}
  }}
  server {{
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {folder}/server.crt; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.crt; ssl_verify_client on;
    location / {{ return 204; }}
  }}
}}
"""


def have_nginx():
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class NginxServer:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.process = None

    def make_certificates(self):
        """A CA, and what it signs: the server's for 127.0.0.1, a client's."""
        openssl(self.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test CA")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
        for name in ("server", "client"):
            openssl(self.folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            openssl(self.folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.crt")

    def start(self):
        self.make_certificates()
        conf = self.folder / "nginx.conf"
        conf.write_text(CONF.format(folder=self.folder, port=self.port, tls_port=self.tls_port), encoding="utf-8")
        self.process = subprocess.Popen([have_nginx(), "-p", str(self.folder), "-c", str(conf)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("nginx runs", lambda: (self.folder / "nginx.pid").exists() and (self.folder / "nginx.pid").read_text())
        return self

    def lines(self):
        """[connection, uri, status, message id, authorization] of each request."""
        path = self.folder / "access.log"
        return [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
