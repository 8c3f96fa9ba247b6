from __future__ import annotations

from flytelite.compiler.errors import CompilationFailed, CompileErrors, parameter_not_bound, value_required


def test_errors_are_sorted_by_code_then_text_and_counted_once() -> None:
    errors = CompileErrors()
    for error in (value_required("b", "x"), parameter_not_bound("z", "x"), value_required("a", "x")):
        errors.collect(error)
    errors.scope().collect(value_required("a", "x"))
    assert str(CompilationFailed(errors)) == (
        "Collected Errors: 3\n"
        "\tError 0: Code: ParameterNotBound, Node Id: z, Description: Parameter not bound [x].\n"
        "\tError 1: Code: ValueRequired, Node Id: a, Description: Value required [x].\n"
        "\tError 2: Code: ValueRequired, Node Id: b, Description: Value required [x].\n"
    )


def test_a_scope_knows_what_came_through_it() -> None:
    errors = CompileErrors()
    first, second = errors.scope(), errors.scope()
    inner = first.scope()
    inner.collect(value_required("a", "x"))
    assert not inner.ok
    assert not first.ok
    assert not errors.ok
    assert second.ok
    # one that the set knew already counts as well
    second.collect(value_required("a", "x"))
    assert not second.ok
    assert len(errors) == 1
