"""WorkflowTemplate -> CompiledWorkflowClosure and its error list, as FlyteAdmin compiles. Pure functions."""
