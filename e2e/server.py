"""Runs MiniStack with what it lacks for our template: `Fn::Split` within the conditions of a template.

AWS has that function there; MiniStack (1.5.33) passes it on unresolved, and the deployment fails. Here it is resolved
before MiniStack evaluates the conditions. Without need once MiniStack knows it.
"""

from ministack.app import main
from ministack.services.cloudformation import changesets, engine, handlers, stacks


def resolve_splits(value, params: dict):
    if isinstance(value, list):
        return [resolve_splits(item, params) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Split" in value:
        return engine._resolve_refs(value, {}, params, {}, {}, "", "")
    return {key: resolve_splits(item, params) for key, item in value.items()}


def evaluate_conditions(template: dict, params: dict, *rest, **named) -> dict:
    conditions = resolve_splits(template.get("Conditions", {}), params)
    return original({**template, "Conditions": conditions}, params, *rest, **named)


original = engine._evaluate_conditions
for module in (changesets, engine, handlers, stacks):
    if hasattr(module, "_evaluate_conditions"):
        module._evaluate_conditions = evaluate_conditions

if __name__ == "__main__":
    main()
