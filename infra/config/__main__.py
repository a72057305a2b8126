"""Print the tables of docs/configuration.md: `python -m infra.config`."""

from infra.config.context import table
from infra.config.deployment_policy import Policy

if __name__ == "__main__":
    print(f"{table()}\n\n{table(Policy, 'Member')}")
