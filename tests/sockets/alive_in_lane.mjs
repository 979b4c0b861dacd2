/** An application in a lane that does nothing. */
export default () => ({ news() {} });
