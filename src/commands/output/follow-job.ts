import type { Progress } from '../../app/observer.js';
import { Pace } from '../../app/pace.js';
import type { GroupListener } from '../../ranks/group/rank-group.js';
import { phases } from '../../ranks/progress.js';

/** Shows the first rank's progress in `steps`, which is everybody's. */
export function followJob(progress: Progress, steps: number): GroupListener {
  const pace = new Pace();
  let label: string = phases.load.label;
  let done = 0;
  return (rank, event) => {
    if (rank !== 0) return;
    if (event.type === 'step') done = event.step + 1;
    else if (event.type === 'phase' && event.event === 'start') {
      label = phases[event.name].label;
      pace.restart(done);
    } else return;
    progress.update(done, label, event.type === 'step' ? pace.outlook(done, steps, 'step') : undefined);
  };
}
