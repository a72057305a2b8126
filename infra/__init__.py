"""The AWS infrastructure: one CDK stack, synthesised by `app.py` and committed as `infra/template.json`."""
