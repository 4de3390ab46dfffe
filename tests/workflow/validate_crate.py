"""Hold a crate against the profiles that it names, by roc-validator, in an environment of its own and without a network.

python validate_crate.py CRATE CONTEXT: CONTEXT is the JSON-LD context that rocrate ships (of RO-Crate 1.3). It stands in for the contexts
that are fetched otherwise; what 1.1 and the terms of workflow runs call otherwise is put right below. Prints a line for each issue.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rdflib.plugins.shared.jsonld import context as rdflib_context
from rdflib.plugins.shared.jsonld import util
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

PROFILE = "workflow-run-crate-0.5"
BIOSCHEMAS = "https://bioschemas.org/"
OF_1_1 = {
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}ComputationalWorkflow#output",
}
OF_RUNS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}


class Answer:
    """What the net would have said."""

    status_code = 200
    headers = {"Content-Type": "application/ld+json"}

    def __init__(self, values: dict[str, Any]):
        self.text = json.dumps(values)
        self.content = self.text.encode()

    def json(self) -> dict[str, Any]:
        return json.loads(self.text)


def main(crate: str, shipped: str) -> int:
    terms = json.loads(Path(shipped).read_text(encoding="utf-8"))["@context"]
    terms = terms[-1] if isinstance(terms, list) else terms
    contexts = {
        "https://w3id.org/ro/crate/1.1/context": {"@context": {k: v for k, v in terms.items() if k != "sha256"} | OF_1_1},
        "https://w3id.org/ro/terms/workflow-run/context": {"@context": OF_RUNS},
    }
    read = util.source_to_json

    def stood_in(source: Any, *rest: Any, **named: Any) -> Any:
        address = str(getattr(source, "url", None) or getattr(source, "system_id", None) or source)
        return (contexts[address], None) if address in contexts else read(source, *rest, **named)

    util.source_to_json = rdflib_context.source_to_json = stood_in
    HttpRequester.get = lambda self, address, **named: Answer(contexts[address])
    settings = services.ValidationSettings(
        rocrate_uri=crate, profile_identifier=PROFILE, requirement_severity=models.Severity.RECOMMENDED, skip_availability_check=True
    )
    issues = services.validate(settings).get_issues()
    for issue in issues:
        print(f"{issue.severity.name}: {issue.check.identifier}: {issue.message}")
    return int(any(issue.severity == models.Severity.REQUIRED for issue in issues))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
