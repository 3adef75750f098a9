import type { Phase } from '../../pipelines/request.js';
import type { GroupListener } from '../../ranks/group/rank-group.js';
import type { Progress } from './terminal.js';

const labels: Readonly<Record<Phase, string>> = {
  load: 'loading',
  encode: 'encoding the picture',
  text: 'encoding the prompt',
  denoise: 'denoising',
  decode: 'decoding',
};

/** Shows the first rank's progress, which is everybody's. */
export function followJob(progress: Progress): GroupListener {
  let label = labels.load;
  let done = 0;
  return (rank, event) => {
    if (rank !== 0 || event.type === 'place') return;
    if (event.type === 'step') done = event.step + 1;
    else if (event.event === 'start') label = labels[event.name];
    progress.update(done, label);
  };
}
