"""A certificate authority of a test's own, by the openssl program."""

import ssl
import subprocess


class Authority:
    def __init__(self, directory, name="Test CA"):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.key, self.certificate = directory / "ca.key", directory / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key,
                      "-out", self.certificate, "-subj", f"/CN={name}", "-days", "30",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def issue(self, name, alternative, start=None, end=None):
        """A server's context with a certificate for these names; start and end as YYYYMMDDHHMMSSZ."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue_files(name, alternative, start, end))
        return context

    def issue_files(self, name, alternative, start=None, end=None, purpose="serverAuth", algorithm="ec"):
        """The files of a certificate and its key."""
        key, request, certificate = (self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage={purpose}\n")
        options = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if algorithm == "ec" else []
        self._openssl("req", "-new", "-newkey", algorithm, *options, "-nodes", "-keyout", key,
                      "-out", request, "-subj", f"/CN={name}")
        if start is None:
            self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                          "-days", "20", "-extfile", extensions, "-out", certificate)
        else:
            self._issue_dated(request, certificate, extensions, start, end)
        return certificate, key

    def client_context(self, certificate=None, key=None):
        """Of a client that believes this authority, and shows a certificate of its own if there is one."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if certificate:
            context.load_cert_chain(certificate, key)
        return context

    def _issue_dated(self, request, certificate, extensions, start, end):
        """Only `openssl ca` takes dates, and it wants a small household of files."""
        home = self.directory / "household"
        home.mkdir(exist_ok=True)
        (home / "index.txt").write_text("")
        (home / "serial").write_text("1000\n")
        config = home / "ca.conf"
        config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={home}/index.txt\nserial={home}/serial\nnew_certs_dir={home}\n"
                          f"certificate={self.certificate}\nprivate_key={self.key}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        self._openssl("ca", "-batch", "-config", config, "-in", request, "-out", certificate, "-startdate", start, "-enddate", end,
                      "-extfile", extensions, "-notext")
