// How a component lives in Streamlit's element.

/**
 * What Streamlit calls at the mount and at every change of the data: one component of a class in each of its elements.
 * The class takes the element, has `receive(data, setStateValue)` and `close()`.
 */
function mounting(Component) {
  const mounted = new WeakMap(); // by the element that Streamlit gives for the component
  return ({ parentElement, data, setStateValue }) => {
    const known = mounted.get(parentElement) || { component: new Component(parentElement), calls: 0 };
    mounted.set(parentElement, known);
    known.calls += 1;
    const call = known.calls;
    known.component.receive(data, setStateValue);
    return () => {
      if (known.calls !== call) return; // a newer call is in charge
      known.component.close();
      mounted.delete(parentElement);
    };
  };
}
