"""Each directed attack is refused, and by the rule that is there for it."""

import pytest

from tests.support.definitions.policy_attacks import ATTACKS, Attack
from tests.support.definitions.policy_cases import policy, rules, shipped
from upload_trigger.settings import RULES

CASES = [(rule, attack) for rule, attacks in ATTACKS.items() for attack in attacks]


def test_there_are_attacks_on_every_rule() -> None:
    assert set(ATTACKS) == {"form", *RULES}


@pytest.mark.parametrize(("rule", "attack"), CASES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(CASES)])
def test_an_attack_is_refused_by_the_rule_that_is_there_for_it(rule: str, attack: Attack) -> None:
    definition = shipped()
    attack(definition)
    assert rule in rules(definition)
    # The rule alone is enough: with every other one off, it refuses all the same.
    others = {each: "so that one rule alone is judged" for each in RULES if each != rule}
    assert rules(definition, policy(policy_off=others)) == {rule}
