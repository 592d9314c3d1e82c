/**
 * Stands for an object in a `WeakRef`. A `WeakRef` keeps its target until the current job
 * ends, and what is let go of must not be kept: so it is made of the link, which then is cut.
 */
export class Link<T> {
  target: T | undefined;
  readonly weak: WeakRef<Link<T>> = new WeakRef(this);

  constructor(target: T) {
    this.target = target;
  }
}
