"""The part of Ray Train that holds a lane: it starts the workers, looks after them, and tells of their end."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
import ray.train
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from fashion_sweep.cluster.capacity import worker_resources
from fashion_sweep.cluster.lane import Lane
from fashion_sweep.cluster.lane_worker import work_in_lane
from fashion_sweep.cluster.loopback import on_this_machine_only
from fashion_sweep.cluster.process_group import Together
from fashion_sweep.cluster.ray_storage import forget, ray_storage

MEETING_S = 600
"""For which the workers of a lane, all started, wait to meet."""
RESTARTS = 5
"""How often workers that die before they have begun are started again; Train's default is for ever."""


NOT_NEEDED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""Two that start a process each: one shares out data sets of Ray Data, of which there are none; the other gives a
lane's place back, which `lanes` does."""


class LaneTrainer(DataParallelTrainer):
    """Is Train's, with fewer processes, and without a runtime environment: with one, each of them starts twice."""

    began: Callable[[Any], None]
    """Is given the handle of the actor that looks after the workers."""

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        controller = ray.remote(num_cpus=0, label_selector=here)(TrainController).remote(**arguments)
        self.began(controller)
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, NOT_NEEDED)]


def lane_trainer(lane: Lane, began: Callable[[Any], None]) -> LaneTrainer:
    """Returns the trainer of a lane, whose `fit` lasts as long as the lane does.

    `began` is given the handle of the actor that looks after its workers.
    """
    resources, own = lane.resources, f"{lane.name}-{time.time_ns()}"
    forget(lane.run, f"{own}/checkpoint_manager_snapshot.json")
    trainer = LaneTrainer(
        partial(work_in_lane, lane),
        backend_config=Together(MEETING_S, on_this_machine_only()),
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers_per_trial,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=worker_resources(resources),
        ),
        run_config=ray.train.RunConfig(
            name=own,
            **ray_storage(lane.run),
            failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=RESTARTS),
        ),
    )
    trainer.began = began
    return trainer
