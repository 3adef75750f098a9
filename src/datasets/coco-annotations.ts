import type { JsonObject } from '../base/json.js';
import { abbreviate } from '../base/quote.js';
import { type CaptionedImage, datasetError } from './caption-dataset.js';
import { fileNameField, integerField, listOfObjects, stringField } from './fields.js';

/**
 * The images of COCO's caption annotations (`captions_val2014.json`), in the order of its `images`; their
 * captions in the order of `annotations`. `path` is the file that messages name.
 */
export function readCocoCaptions(annotations: JsonObject, path: string): CaptionedImage[] {
  const images = new Map<number, { name: string; captions: string[] }>();
  for (const { value, place } of listOfObjects(annotations, 'images', path)) {
    const id = integerField(value, 'id', place);
    if (images.has(id)) throw datasetError(place, `a second image with the id ${id}`);
    images.set(id, { name: fileNameField(value, 'file_name', place), captions: [] });
  }
  for (const { value, place } of listOfObjects(annotations, 'annotations', path)) {
    const id = integerField(value, 'image_id', place);
    const image = images.get(id);
    if (image === undefined) throw datasetError(place, `there is no image with the id ${id}`);
    image.captions.push(stringField(value, 'caption', place));
  }
  return checkCaptioned([...images.values()], path);
}

/**
 * The validation images of Karpathy's split of COCO (`dataset_coco.json`), in its order: what the data set
 * HuggingFaceM4/COCO gives as `validation` of its configuration `2014_captions`. Names are those of the
 * folders of COCO's archives, `val2014/…`.
 */
export function readKarpathyCaptions(annotations: JsonObject, path: string): CaptionedImage[] {
  const images: CaptionedImage[] = [];
  for (const { value, place } of listOfObjects(annotations, 'images', path)) {
    if (stringField(value, 'split', place) !== 'val') continue;
    const file = fileNameField(value, 'filename', place);
    const folder = file.includes('val2014') ? 'val2014' : 'train2014';
    const captions = listOfObjects(value, 'sentences', place).map((sentence) =>
      stringField(sentence.value, 'raw', sentence.place),
    );
    images.push({ name: `${folder}/${file}`, captions });
  }
  return checkCaptioned(images, path);
}

/** Something to draw for every image, and an image. */
export function checkCaptioned<T extends CaptionedImage>(images: readonly T[], path: string): T[] {
  if (images.length === 0) throw datasetError(path, 'has no images');
  for (const { name, captions } of images) {
    if (captions.length === 0) throw datasetError(path, `the image ${abbreviate(name)} has no caption`);
  }
  return [...images];
}
