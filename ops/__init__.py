"""The person's side: upload a definition, watch its execution, leave a report; on AWS or on local AWS."""
