# One image for all five services: what a container runs is its command (docker-compose.yml).
FROM python:3.11-slim AS build
COPY requirements/runtime.lock /build/runtime.lock
RUN python3 -m venv /opt/riskpool \
 && /opt/riskpool/bin/pip install --no-cache-dir --require-hashes -r /build/runtime.lock

FROM python:3.11-slim
COPY --from=build /opt/riskpool /opt/riskpool
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
CMD ["python", "-m", "riskpool", "--help"]
