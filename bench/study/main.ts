import { runBench } from '../bench.js';
import { writeDtypesStudy } from './dtypes.js';
import { StudyNetworks } from './networks.js';
import { completeStudyOptions, type StudySubject, studyOptions } from './options.js';
import { writePixArtStudy } from './pixart.js';
import { writeUNetStudy } from './unet.js';

const writers: Readonly<Record<StudySubject, typeof writeUNetStudy>> = {
  unet: writeUNetStudy,
  pixart: writePixArtStudy,
  dtypes: writeDtypesStudy,
};

await runBench(
  {
    name: 'study',
    text:
      'How close the modes come to the pictures of one rank, as the tables of the DistriFusion paper in ' +
      'kind: modes x ranks x warm-up; or how close element types come to each other. Writes a page with tables, and of UNets plots and pictures; prints ' +
      'its path. LPIPS and FID are measured where the weights of their networks are given.',
    options: studyOptions,
  },
  async (given, signal) => {
    const options = completeStudyOptions(given);
    const networks = await StudyNetworks.open(options.weights);
    try {
      console.log(await writers[given.of](options, networks, signal));
    } finally {
      await networks.close();
    }
  },
);
