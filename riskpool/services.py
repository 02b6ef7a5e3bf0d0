"""The services of the product, in the order in which a case passes them, and where their databases' owner is told."""

SERVICES = ("referral", "review", "pool", "recovery", "gateway")

# Address of the databases as their owner, for migrations only; `{service}` in it stands for the service's name.
OWNER_URL = "RISKPOOL_OWNER_URL"
