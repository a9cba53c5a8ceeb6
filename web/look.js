// look.js - Camera and pictures: teaching by showing things, for models that are taught photographs.

import { el } from './dom.js';
import { on } from './state.js';
import { Camera } from './camera.js';
import { countSeen } from './known.js';
import { undoVisit } from './lesson.js';
import { Tray } from './tray.js';

export class Look {
  constructor() {
    this.title = 'Camera and pictures';
    this.camera = new Camera();
    this.tray = new Tray(() => !this.node.hidden);
    this.undo = undoVisit();
    this.undo.hidden = true;
    this.node = el('section', { class: 'place try' },
      el('header', {}, el('h1', {}, 'Camera and pictures'),
        el('p', {}, 'Show a thing to the camera and hold the button of its class: the model learns what it sees. Or drop pictures, and label each with one key.')),
      this.camera.node, this.tray.node, el('p', { class: 'row' }, this.undo));
    on('lesson', () => {
      this.undo.hidden = false;
      this.shown();
    });
    on('undone', () => {
      this.undo.hidden = true;
      this.shown();
    });
  }

  shown() {
    countSeen().catch(() => {}); // the line at the top says that convd does not respond
  }

  left() {
    if (this.camera.stream) this.camera.stop();
  }
}
