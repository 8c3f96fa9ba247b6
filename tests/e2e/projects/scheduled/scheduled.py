"""A workflow that is told when it was to start."""

from datetime import datetime, timedelta

from flytekit import CronSchedule, FixedRate, LaunchPlan, task, workflow


@task
def tell(when: datetime) -> str:
    return when.isoformat()


@workflow
def report(when: datetime = datetime(2024, 1, 1)) -> str:
    return tell(when=when)


minutely = LaunchPlan.get_or_create(report, name="scheduled.minutely", schedule=FixedRate(timedelta(minutes=1)))
yearly = LaunchPlan.get_or_create(
    report,
    name="scheduled.yearly",
    schedule=CronSchedule(schedule="0 0 1 1 *", kickoff_time_input_arg="when"),
)
